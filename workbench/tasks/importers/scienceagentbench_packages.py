"""The packages that a program of ScienceAgentBench needs: by what it imports, with the pins of upstream's harness."""

from __future__ import annotations

import sys
from collections.abc import Iterable

_BASE = {"numpy": "numpy<2", "scipy": "scipy<1.14", "matplotlib": "matplotlib<3.8", "pandas": "pandas<3", "sklearn": "scikit-learn"}
_NAMES = {
    "Bio": "biopython",
    "PIL": "pillow",
    "biopsykit": "biopsykit",
    "cv2": "opencv-python-headless",
    "geopandas": "geopandas",
    "iris": "scitools-iris",
    "netCDF4": "netCDF4",
    "oggm": "oggm<=1.6.1",
    "pymatgen": "pymatgen<=2024.5.1",
    "rdkit": "rdkit<=2023.9.5",
    "scvi": "scvi-tools",
    "skimage": "scikit-image",
    "tensorflow": "tensorflow<=2.17.0",
    "tf_keras": "tf_keras<=2.17.0",
    "torch": "torch<=2.3.0",
    "umap": "umap-learn",
    "yaml": "pyyaml",
}
_TOO = {"biopsykit": ("mne",), "oggm": ("salem", "tables", "geopandas"), "scanpy": ("scikit-misc", "leidenalg")}
REPOSITORIES = frozenset({"DeepPurpose", "deepchem", "qsprpred"})
"""Modules for which upstream installs from repositories and pages of their own."""


def packages(modules: Iterable[str]) -> list[str]:
    """Return the packages to install for programs that import ``modules``.

    Examples
    --------
    >>> packages(["os", "skimage", "oggm", "benchmark"])[-5:]
    ['geopandas', 'oggm<=1.6.1', 'salem', 'scikit-image', 'tables']
    """
    wanted = {module for module in modules if module not in sys.stdlib_module_names | _BASE.keys() | {"benchmark"}}
    more = {_NAMES.get(module, module) for module in wanted} | {each for module in wanted for each in _TOO.get(module, ())}
    # parts of what matplotlib and scikit-learn bring, under names of their own
    return [*_BASE.values(), *sorted(more - {"mpl_toolkits", "joblib", "dateutil"})]
