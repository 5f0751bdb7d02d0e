"""The interoperability harness: cases, conversations, expectations and the table."""
