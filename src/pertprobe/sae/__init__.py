"""Sparse autoencoder: one for all models that are compared, trained here, kept in the SAELens layout."""

from pertprobe.sae.autoencoder import SparseAutoencoder
from pertprobe.sae.pca import PrincipalComponents, principal_components
from pertprobe.sae.quality import quality, with_rival
from pertprobe.sae.training import train_sae

__all__ = [
    "PrincipalComponents",
    "SparseAutoencoder",
    "principal_components",
    "quality",
    "train_sae",
    "with_rival",
]
