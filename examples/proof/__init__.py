"""What the recipes of ``docs/guarantees.md`` count: a row for each effect, and nothing that keeps a second one out."""
