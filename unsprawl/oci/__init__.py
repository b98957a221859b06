"""Container images as the OCI specifications describe them: requests, manifests, layers, what hides what."""
