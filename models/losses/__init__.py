"""What training minimises: one module per network, with the papers' equation numbers."""
