"""The probe: what a net does before it is trained, and what theory says of it."""
