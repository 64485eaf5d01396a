"""The digest of library code: it changes with behaviour and with nothing else."""

import textwrap

import pytest

from pertprobe.calibration import parts
from pertprobe.workflow import digest

FILES = {
    "__init__.py": "",
    "top.py": """
        \"\"\"Module text.\"\"\"
        import os
        from fake.low import used, LIMIT
        from fake import whole

        SETTINGS = {"a": 1}
        SETTINGS["b"] = 2

        def target(x):
            \"\"\"Says what it does.\"\"\"
            return used(x) + LIMIT + SETTINGS["a"]  # a comment

        def unrelated(x):
            return x - 1

        def lazy(x):
            from fake.low import inner as deep
            return deep(x)

        def relative(x):
            from .sub import helper
            return helper(x)

        def by_module(x):
            return whole.f(x)

        class Thing:
            def method(self):
                return unrelated(2)
        """,
    "low.py": """
        LIMIT = 3

        def used(x):
            return inner(x)

        def inner(x):
            return x + 1

        def unused(x):
            return x
        """,
    "whole.py": """
        def f(x):
            return g(x)

        def g(x):
            return x
        """,
    "sub/__init__.py": "from .part import helper\n",
    "sub/part.py": """
        from ..low import LIMIT

        def helper(x):
            return x * LIMIT
        """,
}


def forget():
    """Forget what was read of modules: those of a fake package change."""
    for kept in (digest._module, digest._definition, digest._reached):
        kept.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that gives the digest of targets of a fake package, after replacing text in its files."""
    root = tmp_path / "fake"
    monkeypatch.setattr(digest, "PACKAGE", root)
    monkeypatch.setattr(digest, "NAME", "fake")

    def code(*targets, apart=(), **replaced):
        for name, text in FILES.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = textwrap.dedent(text)
            old, new = replaced.get(name.removesuffix(".py").replace("/", "_"), ("", ""))
            assert old in text
            path.write_text(text.replace(old, new, 1) if old else text)
        forget()
        return digest.code(*targets, apart=apart)

    yield code
    forget()


def test_it_is_the_same_every_time(package):
    assert package("top:target") == package("top:target")
    assert len(package("top:target")) == 16


@pytest.mark.parametrize(
    "replaced",
    [
        ("  # a comment", ""),
        ("Says what it does.", "Says it otherwise."),
        ("Module text.", "Other text."),
        ("return used(x) + LIMIT +", "return (used(x)\n        + LIMIT) +"),
        ("\ndef unrelated", "\n\n# far below\n\ndef unrelated"),
    ],
)
def test_comments_docstrings_and_formatting_change_nothing(package, replaced):
    assert package("top:target", top=replaced) == package("top:target")


def test_an_unrelated_function_of_the_same_module_changes_nothing(package):
    before = package("top:target")
    assert package("top:target", top=("return x - 1", "return x - 2")) == before
    assert package("top:target", low=("def unused(x):\n    return x", "def unused(x):\n    return 2")) == before


@pytest.mark.parametrize(
    ("target", "changes"),
    [
        ("top:target", {"top": ('+ SETTINGS["a"]', '- SETTINGS["a"]')}),
        ("top:target", {"low": ("return x + 1", "return x + 2")}),
        ("top:target", {"low": ("LIMIT = 3", "LIMIT = 4")}),
        ("top:target", {"top": ('{"a": 1}', '{"a": 2}')}),
        ("top:target", {"top": ('SETTINGS["b"] = 2', 'SETTINGS["b"] = 3')}),
        ("top:lazy", {"low": ("return x + 1", "return x + 2")}),
        ("top:relative", {"sub_part": ("x * LIMIT", "x / LIMIT")}),
        ("top:relative", {"low": ("LIMIT = 3", "LIMIT = 4")}),
        ("top:by_module", {"whole": ("def g(x):\n    return x", "def g(x):\n    return -x")}),
        ("top:Thing", {"top": ("return x - 1", "return x - 2")}),
        ("top", {"top": ("return x - 1", "return x - 2")}),
        ("sub", {"sub_part": ("x * LIMIT", "x / LIMIT")}),
        ("sub.part:helper", {"low": ("LIMIT = 3", "LIMIT = 4")}),
    ],
)
def test_a_change_of_what_is_used_changes_it(package, target, changes):
    assert package(target, **changes) != package(target)


@pytest.mark.parametrize("apart", ["low", "sub"])
def test_a_module_apart_is_not_followed_and_all_others_are(package, apart):
    changes = {"low": ("return x + 1", "return x + 2"), "sub_part": ("x * LIMIT", "x / LIMIT")}
    before = package("top:target", "top:relative", apart=[apart])
    same = {
        name: package("top:target", "top:relative", apart=[apart], **{name: each}) == before
        for name, each in changes.items()
    }
    assert same == {"low": apart == "low", "sub_part": apart == "sub"}


def test_a_calibration_does_not_follow_readers_of_given_files_but_what_it_measures_with():
    apart = tuple(f"pertprobe.{each}" for each in parts.READERS)
    reached = digest._reached("calibration.trained:trained", apart)
    rooms = {room for module, _ in reached for room in module.split(".")[1:2]}
    assert {"statistics", "models", "data", "seeding"} <= rooms
    assert not {"readers", "errors"} & rooms
    assert all(digest._path(f"pertprobe.{each}") for each in parts.READERS)


@pytest.mark.parametrize("target", ["top:nothing", "nowhere", "nowhere:f", "sub:nothing"])
def test_an_unknown_target_is_refused(package, target):
    with pytest.raises(KeyError, match=r"noth|nowhere"):
        package(target)


def test_targets_add_up_in_any_order(package):
    assert package("top:target", "top:lazy") == package("top:lazy", "top:target") != package("top:target")


def test_a_probe_depends_on_its_own_code_and_on_no_other_probe(monkeypatch):
    reached = digest._reached("probes.knockout:questions", ())
    modules = {module for module, _ in reached}
    assert {"pertprobe.statistics.matched", "pertprobe.evidence", "pertprobe.probes.base"} <= modules
    assert not {"pertprobe.probes.pert_embedding", "pertprobe.probes.sae_features", "pertprobe.models"} & modules
