"""What the runtime must compute, written the plain way: slow, short, and checked against the reference
implementation."""
