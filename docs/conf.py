"""How the site is built: `make docs`. Nothing is fetched, neither here nor in the browser."""

import sys
import warnings
from pathlib import Path

import skvib

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

project = "skvib"
author = "the skvib developers"
copyright = author
release = version = skvib.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "myst_parser",
    "landing",
    "mathml",
    "results",
]
exclude_patterns = ["_build", "_generated", "_templates", "examples"]
templates_path = ["_templates"]

# every name of the API, and what skvib itself defines of it: scikit-learn documents the rest
autosummary_generate = True
autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("skvib",),
    "reference_url": {"skvib": None},
    "backreferences_dir": "generated/backreferences",
    "abort_on_example_error": True,
    "run_stale_examples": True,  # the package may have changed where an example has not
    "capture_repr": (),
    "parallel": 2,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1,
    "remove_config_comments": True,
    "thumbnail_size": (320, 224),
    "matplotlib_animations": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "skvib"
html_static_path = ["_static", "_generated"]
html_favicon = "_static/favicon.svg"
html_css_files = ["style.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "skvib"},
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_prev_next": True,
    "header_links_before_dropdown": 8,
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
}
html_sidebars = {page: [] for page in ("index", "getting_started", "theory", "architecture", "benchmarks", "changelog")}
html_context = {"default_mode": "auto"}
toc_object_entries_show_parents = "hide"

# joblib renews a worker whose memory has grown, and says so
warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
# sphinx-gallery hands its figures to Agg, whose plt.show() says that it cannot show
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")


def skip_what_others_define(app, what, name, obj, skip, options):
    """Leave out members that scikit-learn documents."""
    module = getattr(getattr(obj, "fget", obj), "__module__", None) or ""
    return True if module and not module.startswith("skvib") else None


def setup(app):
    app.connect("autodoc-skip-member", skip_what_others_define)
