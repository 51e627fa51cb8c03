"""The long-running consumer: records in, predictions out, and a state that survives whatever happens."""
