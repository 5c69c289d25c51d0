"""What a trained image classifier withstands: attacks, corruptions, noise, frequency profiles."""
