"""How a net is initialised: the functions of `INITS`, and what draws and applies them."""
