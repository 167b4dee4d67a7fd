"""Methods that colour grey pictures, and what they share: the bins of colours, and the network that predicts them."""
