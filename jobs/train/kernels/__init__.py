"""Parts of a transformer whose passes are written out, where autograd's would be slower or hold more memory."""
