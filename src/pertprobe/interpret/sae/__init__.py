"""Sparse autoencoders: one for all models that are compared, trained here or elsewhere, kept in the SAELens layout."""

from pertprobe.interpret.sae.autoencoder import SparseAutoencoder
from pertprobe.interpret.sae.files import read_sae, read_saelens, sae_arguments, write_saelens
from pertprobe.interpret.sae.pca import PrincipalComponents, principal_components, read_components, write_components
from pertprobe.interpret.sae.quality import quality, with_rival
from pertprobe.interpret.sae.training import train_sae, training_settings
