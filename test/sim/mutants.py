"""Breaks one rule of the engine after the other, in a copy of the sources, and demands that the simulator finds each.

    python3 test/sim/mutants.py BUILD-FOLDER [NAME]        NAME: only that one
"""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = 1000

# Name, file, what stands there, what takes its place, and what the simulator is to say.
MUTANTS = [
    ("250 before the commit", "relay/session.c",
     "    draft_finish(session->draft, clock_wall_ms());\n",
     "    char id[QUEUE_ID_TEXT], text[64];\n"
     '    snprintf(text, sizeof text, "queued as %.*s", SLICE_ARGS(queue_id_print(draft_id(session->draft), id)));\n'
     "    struct smtp_reply early = reply_of(ERR_NONE, text);\n"
     "    draft_finish(session->draft, clock_wall_ms());\n"
     "    answer(session, &early);\n",
     "which is not on the disk"),
    ("250 although the commit failed", "relay/session.c",
     "reply = reply_of(err, accepted);",
     "reply = reply_of(ERR_NONE, accepted);\n    (void)err;",
     "which is not on the disk"),
    ("the policy ignored on the second host", "relay/route.c",
     "        hosts[i].is_admitted = request->policy == NULL ||",
     "        hosts[i].is_admitted = i > 0 || request->policy == NULL ||",
     "under the enforced policy"),
    ("an unverified certificate is enough", "relay/delivery_talk.c",
     "    if (!verdict->secured || (demands_proof(delivery) && !verdict->verified)) {",
     "    if (!verdict->secured) {",
     "under the enforced policy"),
    ("an open connection outlives its policy", "relay/delivery.c",
     " &&\n        delivery_policy_is_current(delivery)) {",
     ") {",
     "under the enforced policy"),
    ("a record gone ends the policy", "sts/lookup.c",
     "    if (!is_live(lookup)) {\n        finish(lookup, STS_SOURCE_NONE);",
     "    if (lookup->step == STS_LOOKUP_TXT) {\n        finish(lookup, STS_SOURCE_NONE);",
     "under the enforced policy"),
    ("a failed commit of an outcome is forgotten", "relay/journal.c",
     "        journal->is_broken = true;\n    answer_all",
     "        journal->is_broken = false;\n    answer_all",
     ""),
]


def copy_tree(target):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if not (ROOT / name).is_file():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)


def build(source, folder):
    """Only the first of them is configured; what differs is compiled again."""
    if not (folder / "build.ninja").exists():
        subprocess.run(["cmake", "-S", source, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                        f"-DSTERNPOST_DEPS={ROOT / 'build/deps'}", "--log-level=WARNING"],
                       check=True)
    done = subprocess.run(["cmake", "--build", folder, "--target", "sternpost-sim"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stdout)


def simulate(source, folder):
    return subprocess.run([folder / "test/sim/sternpost-sim", "--seeds", str(SEEDS)], cwd=source / "test/sim",
                          capture_output=True, text=True, errors="replace")


def is_found(mutant, source, folder):
    name, file, old, new, words = mutant
    text = (source / file).read_text()
    if text.count(old) != 1:
        print(f"{name}: {file} does not have the lines to be changed just once")
        return False
    (source / file).write_text(text.replace(old, new))
    build(source, folder)
    done = simulate(source, folder)
    (source / file).write_text(text)
    verdicts = [line for line in done.stdout.splitlines() if line.startswith(("seed ", "died "))]
    found = done.returncode != 0 and any(words in line for line in verdicts)
    print(f"{name}: {verdicts[0] if verdicts else 'not found'}", flush=True)
    return found


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    wanted = sys.argv[2:] or [mutant[0] for mutant in MUTANTS]
    source, build_folder = folder / "source", folder / "build"
    copy_tree(source)
    build(source, build_folder)
    if simulate(source, build_folder).returncode != 0:
        raise SystemExit("the simulator finds faults before any rule is broken")
    missed = [mutant[0] for mutant in MUTANTS if mutant[0] in wanted and not is_found(mutant, source, build_folder)]
    shutil.rmtree(folder)
    if missed:
        raise SystemExit("not found: " + ", ".join(missed))


main()
