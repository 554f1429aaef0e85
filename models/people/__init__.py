"""Generated people: bodies, poses, clothes, a renderer, a bank of sprites, and the scenes composed from them."""
