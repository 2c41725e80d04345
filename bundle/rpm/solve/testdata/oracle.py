#!/usr/bin/python3
"""What dnf would do: one JSON request a line on standard input, one JSON answer a line on standard output.

A request names repositories (folders with repodata), what is installed, and jobs; each job is solved by dnf's own API as
`dnf install` and `dnf upgrade` would, without erasing. The installed packages become a real RPM database (sqlite).
See oracle_test.go for the fields.
"""
import gc
import json
import logging
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

import dnf
import dnf.conf
import dnf.exceptions
import dnf.module.module_base
import hawkey
import libdnf.module

real_collect = gc.collect
STRING, BIN, ARRAY, INT32 = 6, 7, 8, 4
LISTS = (("provides", 1047, 1112, 1113), ("requires", 1049, 1048, 1050), ("conflicts", 1054, 1053, 1055),
         ("obsoletes", 1090, 1114, 1115), ("recommends", 5046, 5048, 5047), ("suggests", 5049, 5051, 5050),
         ("supplements", 5052, 5054, 5053), ("enhances", 5055, 5057, 5056))


def header(p):
    """The header of an installed package as the database stores it: counts, entries, data, all under one region."""
    items = []

    def put(tag, kind, count, value):
        items.append((tag, kind, count, value))

    def text(tag, s):
        put(tag, STRING, 1, s.encode() + b"\0")

    def texts(tag, values):
        if values:
            put(tag, ARRAY, len(values), b"".join(v.encode() + b"\0" for v in values))

    def ints(tag, values):
        if values:
            put(tag, INT32, len(values), b"".join(struct.pack(">I", v) for v in values))

    text(1000, p["name"])
    text(1001, p["version"])
    text(1002, p["release"])
    ints(1003, [int(p["epoch"])] if p["epoch"] else [])
    ints(1006, [1])  # when it was built, and who made it: of offered packages writeRepo says the same
    text(1011, "v")
    text(1022, p["arch"])
    text(1044, p["name"] + ".src.rpm")
    for key, names, flags, versions in LISTS:
        deps = p.get(key) or []
        texts(names, [d[0] for d in deps])
        ints(flags, [d[1] for d in deps])
        texts(versions, [d[2] for d in deps])
    folders, bases, indexes = [], [], []
    for path in sorted(p.get("files") or []):
        folder, base = path.rsplit("/", 1)
        folder += "/"
        if folder not in folders:
            folders.append(folder)
        bases.append(base)
        indexes.append(folders.index(folder))
    ints(1116, indexes)
    texts(1117, bases)
    texts(1118, folders)
    entries, data = b"", b""
    for tag, kind, count, value in sorted(items):
        if kind == INT32:
            data += bytes(-len(data) % 4)
        entries += struct.pack(">IIiI", tag, kind, len(data), count)
        data += value
    region = struct.pack(">IIiI", 63, BIN, len(data), 16)
    data += struct.pack(">IIiI", 63, BIN, -16 * (len(items) + 1), 16)
    return struct.pack(">II", len(items) + 1, len(data)) + region + entries + data


class Base(dnf.Base):
    """dnf.Base that keeps what the goal found and leaves out the history of transactions, which takes most of the time."""

    found = None

    def _goal2transaction(self, goal):
        new = goal.list_installs() + goal.list_upgrades() + goal.list_downgrades() + goal.list_reinstalls()
        gone = set(goal.list_obsoleted()) | set(goal.list_erasures())
        for p in new:
            gone.update(goal.obsoleted_by_package(p))
        self.found = {"install": sorted([nevra(p), p.reponame] for p in new), "remove": sorted(nevra(p) for p in gone)}


class Oracle:
    def __init__(self):
        memory = "/dev/shm"
        self.work = tempfile.mkdtemp(prefix="oracle", dir=memory if os.access(memory, os.W_OK) else None)
        # Debian's rpm looks for its database in the home folder.
        os.environ["HOME"] = self.work
        with open(self.work + "/.rpmmacros", "w") as f:
            f.write("%_dbpath /var/lib/rpm\n")
        self.empty = self.work + "/empty"
        os.makedirs(self.empty)
        subprocess.run(["rpmdb", "--initdb", "--dbpath", self.empty], check=True)
        self.count = 0

    def install_root(self, installed):
        root = "%s/root" % self.work
        shutil.rmtree(root, ignore_errors=True)
        os.makedirs(root + "/var/lib")
        if installed is None:
            return root
        os.makedirs(root + "/var/lib/rpm")
        path = root + "/var/lib/rpm/rpmdb.sqlite"
        shutil.copy(self.empty + "/rpmdb.sqlite", path)
        db = sqlite3.connect(path)
        db.execute("PRAGMA synchronous=OFF")
        for i, p in enumerate(installed, 1):
            db.execute("INSERT INTO Packages (hnum, blob) VALUES (?, ?)", (i, header(p)))
            db.execute("INSERT INTO Name (key, hnum, idx) VALUES (?, ?, 0)", (p["name"], i))
        db.commit()
        db.close()
        return root

    def base(self, request):
        self.count += 1
        conf = dnf.conf.Conf()
        conf.installroot = self.install_root(request.get("installed"))
        conf.cachedir = "%s/cache" % self.work
        shutil.rmtree(conf.cachedir, ignore_errors=True)
        conf.persistdir = "%s/persist" % self.work
        shutil.rmtree(conf.persistdir, ignore_errors=True)
        conf.logdir = self.work
        conf.reposdir = ["/dev/null"]
        conf.plugins = False
        conf.gpgcheck = False
        conf.best = bool(request.get("best"))
        conf.module_platform_id = request.get("platform") or "platform:el9"
        conf.substitutions.update(arch=request.get("arch") or "x86_64", basearch="x86_64", releasever="9")
        conf.excludepkgs = request.get("exclude") or []
        base = Base(conf)
        for r in request["repos"]:
            repo = base.repos.add_new_repo(r["id"], conf, baseurl=["file://" + r["dir"]])
            repo.priority = r.get("priority") or 99
            repo.module_hotfixes = bool(r.get("hotfixes"))
        base.fill_sack(load_system_repo=request.get("installed") is not None)
        seen = len(base.sack.query(flags=hawkey.IGNORE_EXCLUDES).installed())
        want = len([p for p in request.get("installed") or [] if p["name"] != "gpg-pubkey"])
        if seen != want:
            raise ValueError("dnf sees %d installed packages, not %d" % (seen, want))
        if request.get("modules"):
            try:
                dnf.module.module_base.ModuleBase(base).enable(request["modules"])
            except dnf.exceptions.MarkingErrors as e:
                if not self.only_defaults(e):
                    return None
        return base

    @staticmethod
    def only_defaults(error):
        """Says whether modules were enabled in spite of trouble among defaults, of which the command only warns."""
        trouble = error.module_depsolv_errors
        kind = libdnf.module.ModulePackageContainer.ModuleErrorType_ERROR_IN_DEFAULTS
        return not error.no_match_group_specs and not error.error_group_specs and trouble and trouble[1] == kind

    def answer(self, request):
        start = time.monotonic()
        base = self.base(request)
        loaded = time.monotonic()
        if base is None:
            return {"refused": True}
        jobs = request.get("jobs")
        if request.get("all"):
            names = {p.name for p in base.sack.query().available().filter(arch__neq=["src", "i686"])}
            jobs = [{"install": [n], "weak": request.get("weak")} for n in sorted(names)]
        answers = [self.solve(base, j) for j in jobs]
        end = time.monotonic()
        base.close()  # or its files stay open
        if self.count % 20 == 0:
            real_collect()
        return {"answers": answers, "load": loaded - start, "solve": end - loaded}

    @staticmethod
    def solve(base, job):
        base.reset(goal=True)
        base.conf.install_weak_deps = bool(job.get("weak"))
        out = {"job": job.get("install") or []}
        try:
            for s in job.get("install") or []:
                base.install(s)
            for s in job.get("upgrade") or []:
                try:
                    base.upgrade(s)
                except dnf.exceptions.MarkingError:
                    pass  # the command tells of it and goes on
            if job.get("upgrade_all"):
                base.upgrade_all()
            base.resolve(allow_erasing=False)
        except dnf.exceptions.MarkingError as e:
            return dict(out, error=str(e), missing=True)
        except dnf.exceptions.Error as e:
            return dict(out, error=str(e))
        return dict(out, **base.found)


def nevra(p):
    return "%s-%s%s-%s.%s" % (p.name, str(p.epoch) + ":" if p.epoch else "", p.version, p.release, p.arch)


def main():
    logging.disable(logging.CRITICAL)
    gc.disable()
    gc.collect = lambda *_: 0  # dnf calls it for every base
    oracle = Oracle()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        for line in sys.stdin:
            request = json.loads(line)
            try:
                result = oracle.answer(request)
            except Exception as e:  # the harness tells what came of it
                result = {"failure": "%s: %s" % (type(e).__name__, e)}
            json.dump(result, out)
            out.write("\n")
            out.flush()
    finally:
        shutil.rmtree(oracle.work, ignore_errors=True)


main()
