"""How good a network is: OKS-AP on people, PCK on crops and objects, photographs."""
