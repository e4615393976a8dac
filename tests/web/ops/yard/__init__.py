"""An app whose work leaves a trace in a file, for tests with several real workers."""
