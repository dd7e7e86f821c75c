"""The adapters of a replica: from a name to weights in its memory, and what stays there."""
