#!/usr/bin/python3
"""Tells what dnf makes of modules: one question as JSON a line in, one answer a line out."""
import gc
import json
import os
import shutil
import sys
import tempfile

import dnf
import dnf.conf
import dnf.exceptions
import dnf.module.module_base
import libdnf.module

# The library writes to stdout and stderr as it likes.
answers = os.fdopen(os.dup(1), "w")
nowhere = os.open(os.devnull, os.O_WRONLY)
os.dup2(nowhere, 1)
os.dup2(nowhere, 2)

# dnf collects garbage twice a question, which takes longer than the answer.
gc.collect = lambda: 0

FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
DEFAULTS_ONLY = libdnf.module.ModulePackageContainer.ModuleErrorType_ERROR_IN_DEFAULTS


def sack(question, scratch):
    conf = dnf.conf.Conf()
    conf.installroot = os.path.join(scratch, "root")
    conf.cachedir = conf.persistdir = os.path.join(scratch, "cache")
    conf.logdir = scratch
    conf.reposdir, conf.pluginpath, conf.plugins, conf.gpgcheck = ["/dev/null"], [], False, False
    conf.module_platform_id = question["platform"]
    for name, value in {"arch": "x86_64", "basearch": "x86_64", "releasever": "8"}.items():
        conf.substitutions[name] = value
    base = dnf.Base(conf)  # with a configuration, lest it asks the machine's rpm for the release
    for repo in question["repos"]:
        base.repos.add_new_repo(repo["id"], conf, baseurl=["file://" + repo["path"]],
                                module_hotfixes=repo["hotfixes"])
    base.fill_sack(load_system_repo=False)
    return base


def enable(modules, specs):
    """Enables streams as the command does: trouble with defaults alone is a warning."""
    try:
        modules.enable([spec.split("/")[0] for spec in specs])
    except dnf.exceptions.MarkingErrors as error:
        trouble = error.module_depsolv_errors
        return not (error.no_match_group_specs or error.error_group_specs or trouble and trouble[1] != DEFAULTS_ONLY)
    return True


def profiles(modules, container, specs):
    """The packages of profiles, as module_base.install chooses them; None where a spec has none."""
    names = set()
    for spec in specs:
        if "/" in spec:
            found, parts = modules.get_modules(spec)
            newest = modules._get_latest([m for m in found if container.isModuleActive(m.getId())])
            matches = newest.getProfiles(parts.profile) if newest else []
            if not matches:
                return None
            names.update(name for profile in matches for name in profile.getContent())
    return sorted(names)


def answer(question, scratch):
    base = sack(question, scratch)
    try:
        modules, container = dnf.module.module_base.ModuleBase(base), base._moduleContainer
        if question["enable"] and not enable(modules, question["enable"]):
            return {"Refused": True}
        install = profiles(modules, container, question["enable"])
        if install is None:
            return {"Refused": True}
        known = list(container.getModulePackages())
        return {
            "Modules": [m.getFullIdentifier() for m in known],
            "Active": [m.getFullIdentifier() for m in known if container.isModuleActive(m.getId())],
            "Enabled": [f"{n}:{s}" for n, s in dict(container.getEnabledStreams()).items()],
            "Available": [f"{p.reponame} {p.name}-{p.epoch}:{p.version}-{p.release}.{p.arch}"
                          for p in base.sack.query().available()],
            "Install": install,
        }
    finally:
        base.close()


for line in sys.stdin:
    scratch = tempfile.mkdtemp(prefix="modules-oracle", dir=FAST)
    try:
        result = answer(json.loads(line), scratch)
    except Exception as error:
        result = {"Error": f"{type(error).__name__}: {error}"}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    answers.write(json.dumps(result) + "\n")
    answers.flush()
