"""Names that a page must bear: as long as Reactome's, in other scripts, and ones that would be HTML."""

import numpy as np

HOSTILE = (
    "<b>bold</b> & 'single' \"double\"",
    "<script>window.hostile = 1</script>",
    "<img src=x onerror='window.hostile = 1'>",
    '"><i onmouseover="window.hostile = 1">',
    "{{ 7 * 7 }} &amp; </table></script>",
    "interféron β — 干扰素 (IFN-β)",
    "a_name_that_" + "never_breaks_" * 6 + "ends",
)
"""Program names that show whether names are escaped, kept and broken into lines."""
STARTS = ["ACTIVATION", "REGULATION", "FORMATION", "SIGNALING", "DEGRADATION", "TRANSPORT", "ASSEMBLY", "METABOLISM"]
PARTS = (
    "THE_MRNA_UPON_BINDING_OF_THE_CAP_BINDING_COMPLEX_AND_EIFS", "TP53_THROUGH_METHYLATION", "INTERFERON_GAMMA",
    "SUBSEQUENT_BINDING_TO_43S", "MITOTIC_G1_PHASE_AND_G1_S_TRANSITION", "RIBOSOMAL_SCANNING", "CHOLESTEROL",
    "NUCLEAR_RECEPTORS", "PYRUVATE_AND_CITRIC_ACID_TCA_CYCLE", "NOTCH1_PEST_DOMAIN_MUTANTS_IN_CANCER",
    "MHC_CLASS_II_ANTIGEN_PRESENTATION", "RESPIRATORY_ELECTRON_TRANSPORT", "DNA_DOUBLE_STRAND_BREAK_REPAIR",
)  # fmt: skip


def program_names(n: int, random: np.random.Generator) -> list[str]:
    """Return so many names, the hostile ones among them, no two alike."""
    made = [f"REACTOME_{_words(random)}_{number}" for number in range(n - len(HOSTILE))]
    return [*made, *HOSTILE][:n] if n > len(HOSTILE) else list(HOSTILE[:n])


def _words(random: np.random.Generator) -> str:
    parts = random.choice(PARTS, size=random.integers(1, 4), replace=False)
    return f"{random.choice(STARTS)}_OF_{'_AND_'.join(parts)}"


def gene_names(n: int) -> list[str]:
    """Return so many names of genes."""
    return [f"GENE{number:04}" for number in range(n)]
