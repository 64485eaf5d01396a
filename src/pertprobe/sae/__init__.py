"""Sparse autoencoder: one for all models that are compared, trained here, kept in the SAELens layout."""

from pertprobe.sae.autoencoder import SparseAutoencoder
from pertprobe.sae.quality import quality
from pertprobe.sae.training import train_sae

__all__ = ["SparseAutoencoder", "quality", "train_sae"]
