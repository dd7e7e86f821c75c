"""What a replica of the API routes `auto` by: the policy that it follows, how fast arms are, how questions drift."""
