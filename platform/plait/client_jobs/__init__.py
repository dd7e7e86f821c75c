"""What clients order over the API and a job does: fine-tuning and batches. Their state; nothing here runs one."""
