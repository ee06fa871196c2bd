"""The extension modules, and nothing else; everything declarative is in pyproject.toml.

Two switches, read from the environment, for the project's own checks:
DNSBL_SANITIZE=address,undefined builds with those sanitizers; DNSBL_COVERAGE=1 builds for gcov.
"""

from __future__ import annotations

import os
from glob import glob

from setuptools import Extension, setup

compile_args = ["-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter"]
link_args: list[str] = []
if sanitize := os.environ.get("DNSBL_SANITIZE"):
    flags = [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-g", "-O1"]
    compile_args += flags
    link_args += flags
if os.environ.get("DNSBL_COVERAGE") == "1":
    compile_args += ["--coverage", "-O0"]
    link_args += ["--coverage"]


c_sources = sorted(glob("src_c/*.c"))
c_headers = sorted(glob("src_c/*.h"))


def extension(name: str, *sources: str, depends: tuple[str, ...] = ()) -> Extension:
    return Extension(
        f"dnsbl.{name}",
        [f"dnsbl/{name.replace('.', '/')}.pyx", *sources],
        depends=[*c_headers, *depends],
        include_dirs=["src_c"],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


setup(
    ext_modules=[
        extension("names._qname", "src_c/qname.c"),
        extension(
            "engine._engine",
            *c_sources,
            depends=("dnsbl/engine/capi.pxd", *sorted(glob("dnsbl/engine/*.pxi"))),
        ),
    ]
)
