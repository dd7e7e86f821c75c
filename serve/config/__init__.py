"""Ready Serve configurations, in Ray Serve's own schema."""
