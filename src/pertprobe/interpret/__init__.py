"""What is done to a model, whatever asks for it: derivatives, autoencoders, patches, knock-outs, sketches."""
