"""One watched road, for all tests of this folder: what its dashboards, rules, pages and runbooks are tried on."""
