"""What is deployed: image, compose, Kubernetes, systemd. Checked as text, and run natively where that can be."""
