"""Generated people: bodies, poses, clothes, a renderer, a bank of sprites, and scenes made of them."""
