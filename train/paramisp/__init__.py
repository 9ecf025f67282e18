"""Training of ParamISP: imaginary cameras, folders of pairs, the task of each network and of both, evaluation."""
