"""ParamISP: forward and inverse ISPs steered by exposure data, and what can be done with them."""
