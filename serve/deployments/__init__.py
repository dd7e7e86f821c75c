"""The deployments: what each replica does, and what of it takes turns or is probed."""
