"""The processes that Plait starts on one machine when nothing else is configured: Ray, Milvus, the exporter."""
