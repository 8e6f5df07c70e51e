"""The masked autoencoder and its encoder."""
