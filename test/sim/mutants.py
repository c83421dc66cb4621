"""Breaks one rule of the engine after the other, in a copy of the sources, and demands that the simulator finds each.

    python3 test/sim/mutants.py BUILD-FOLDER [NAME]        NAME: only that one
    python3 test/sim/mutants.py --bites SIMULATOR          breaks the word of the stand-ins instead, which takes seconds
    python3 test/sim/mutants.py --check                    only whether the lines to change are still there
"""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEEDS = 1000

# Name, what the simulator is to say (signal 6: an assertion of the engine's own), and the changes: file, what stands there, what
# takes its place.
MUTANTS = [
    ("250 before the commit", "which is not on the disk",
     ("relay/session.c", "    draft_finish(session->draft, clock_wall_ms());\n",
      "    char id[QUEUE_ID_TEXT], text[64];\n"
      '    snprintf(text, sizeof text, "queued as %.*s", SLICE_ARGS(queue_id_print(draft_id(session->draft), id)));\n'
      "    struct smtp_reply early = smtp_reply_make(250, 0, 0, text);\n"
      "    answer(session, &early);\n"
      "    flush(session);\n"
      "    draft_finish(session->draft, clock_wall_ms());\n"),
     ("relay/session.c", "    answer(session, &reply);\n    session_set_timeout(session);\n    session_drive(session);\n",
      "    session_set_timeout(session);\n    session_drive(session);\n")),
    ("the wall clock ends policies", "when nobody served it",
     ("relay/finder.c", "        .now_ms = steady_now_ms(&finder->relay->steady),\n", "        .now_ms = clock_wall_ms(),\n")),
    ("the wall clock ends the time of mail", "was reported as failed without a reason",
     ("relay/record.c", "if (steady_now_ms(&relay->steady) - request->message->arrival_ms <",
      "if (clock_wall_ms() - request->message->arrival_ms <")),
    ("250 although the disk was full", "which is not on the disk",
     ("relay/session.c", "reply = reply_of(err, accepted);", "reply = reply_of(err == ERR_FULL ? ERR_NONE : err, accepted);")),
    ("the policy ignored on the second host", "under the enforced policy",
     ("relay/route.c", "        hosts[i].is_admitted = request->policy == NULL ||",
      "        hosts[i].is_admitted = i > 0 || request->policy == NULL ||")),
    ("certificates not looked at", "died of signal 6",
     ("relay/delivery_talk.c", "    enum tls_demand demand = demands_proof(delivery) ? TLS_VERIFY : TLS_ENCRYPT;",
      "    enum tls_demand demand = TLS_ENCRYPT;"),
     ("relay/delivery_talk.c", "(demands_proof(delivery) && !verdict->verified)", "false")),
    ("plaintext where STARTTLS is not offered", "died of signal 6",
     ("relay/delivery_talk.c", ": delivery_demands_tls(delivery)           ? SMTP_CLIENT_STARTTLS_MUST",
      ": delivery->transaction_count > 999 ? SMTP_CLIENT_STARTTLS_MUST")),
    ("our own name bounces mail under a policy", "without a reason",
     ("relay/verdict.c", "    case TROUBLE_LOOP:\n        /* A domain",
      "        return !facts->by_policy;\n    case TROUBLE_LOOP:\n        return true;\n        /* A domain")),
    ("a policy is never stored", "has not written it down",
     ("relay/finder.c", "    if (sts_lookup_result(&flight->lookup)->store)\n", "    if (flight->is_storing)\n")),
    # The gate before the envelope still holds, so this mail waits without end.
    ("a record gone ends the policy", "was never told",
     ("sts/lookup.c", "    else\n        finish_kept_or(lookup, STS_SOURCE_NONE);", "    else\n        finish(lookup, STS_SOURCE_NONE);")),
    ("a policy learned on the way does not bind", "under the enforced policy",
     ("relay/delivery_talk.c", "    if (!delivery_same_demand(delivery) || delivery_policy_is_overtaken(delivery)) {", "    if (delivery->overtaken_count > 0) {")),
    ("a part of the content passes for the whole", "was changed",
     ("smtp/client_transaction.c",
      "    if (from->failed) {\n        out->failed = true;\n    } else {\n        buffer_add(out, buffer_slice(from));\n    }\n",
      "    buffer_add(out, buffer_slice(from));\n    out->failed |= from->failed;\n"),
     ("smtp/client_transaction.c", "    if (!client->chunk.failed) {\n", "    {\n")),
    ("a spent connection puts mail off", "only spent",
     ("relay/delivery_reuse.c", "    return refused && delivery->carried_count > 0 &&", "    return refused && delivery->carried_count > 99 &&")),
    ("another policy ends no wait", "for the sake of a policy that another has replaced",
     ("relay/finder.c", "        policy_waits_learned(flight->finder->relay, flight->domain, before, &flight->lookup.result);\n", "")),
    ("nobody ends a wait for the disk", "was told to stop",
     ("relay/draft.c", "draft->ready != NULL && !draft_is_busy(draft)",
      "draft->ready != NULL && draft->chunks_under_way == CHUNKS_UNDER_WAY_MAX - 1 && !draft_is_busy(draft)")),
    ("the owed report is forgotten at a restart", "was never told",
     ("relay/gathering.c", "    for (size_t i = 0; i < PIECES_MAX && err == ERR_NONE; i++) {\n        arena_reset(arena);\n",
      "    for (size_t i = PIECES_MAX; i < PIECES_MAX && err == ERR_NONE; i++) {\n        arena_reset(arena);\n")),
    ("the report that was made is owed still", "was reported as failed twice",
     ("relay/record.c", "    count += record->outcome.report_count;\n", "    count += 0;\n")),
    ("a report is owed by memory alone", "was never told",
     ("relay/record.c", "        record->changes[count++] = record->owed;\n", "        record->owed.number = 1;\n")),
    ("an entry is free before its outcome is stored", "twice",
     ("relay/record.c", "    if (record != NULL)\n        submit(record);\n",
      "    if (record != NULL)\n        submit(record);\n"
      "    for (size_t i = 0; record != NULL && i < count; i++)\n"
      "        destination_release(items[i].destination, items[i].entry->id, items[i].entry->number);\n"),
     ("relay/record.c", "        destination_release(part->destination, part->entry.id, part->entry.number);\n", "")),
]

# The same, found in crowds of an attacker's subdomains.
CROWD_MUTANTS = [
    ("refreshes in the order of names, whoever fails", "has lapsed",
     ("relay/refresh_turns.c", "lane = &turns->lanes[turn->is_failing];\n    bool is_crowd", "lane = &turns->lanes[false];\n    bool is_crowd"),
     ("relay/refresh_turns.c", "lane = &turns->lanes[turn->is_failing];\n    size_t at", "lane = &turns->lanes[false];\n    size_t at"),
     ("relay/refresh_turns.c", "bool is_crowd = count_of(lane->waiting, lane->waiting_count, &turn->owner) >= REFRESH_TURNS_WAITING_SHARE;",
      "bool is_crowd = false;"),
     ("relay/refresh_turns.c", "lane->running_max / SHARE_PARTS", "lane->running_max"),
     ("relay/refresh_turns.c", "bool is_sooner = best == lane->waiting_count || deadline_ms(turn) < deadline_ms(lane->waiting[best]);",
      "bool is_sooner = best == lane->waiting_count ||\n"
      "                         slice_compare(refresh_turn_domain(turn), refresh_turn_domain(lane->waiting[best])) < 0;")),
    ("room is made by last use alone", "which is in force",
     ("relay/finder_room.c", "    uint64_t given = set_shares(room, excess, limit);\n",
      "    uint64_t given = 0 * set_shares(room, excess, limit);\n    memset(room->excess, 0, sizeof room->excess);\n")),
    ("a delivery that waits for a policy keeps its place", "for the sake of others",
     ("relay/delivery_find.c", "!delivery_is_connected(delivery) && !place_lend(delivery->destination->schedule, &delivery->place)",
      "!delivery_is_connected(delivery) && delivery->place.state != PLACE_HELD")),
    ("one owner may have all the fetches", "for the sake of others",
     ("relay/fetch_turns.h", "#define FETCH_TURNS_SHARE 8", "#define FETCH_TURNS_SHARE FETCH_TURNS_MAX")),
]

# What a stand-in says and does not keep, and what the simulator is to say.
BROKEN_WORDS = [
    ("policies", "has not written it down"),
    ("proofs", "without a proof of the host's name"),
    ("mail", "which is not on the disk"),
    ("outcomes", "twice"),
]


def bite(simulator):
    """The words are those of a rule, whichever seed breaks it first."""
    for rule, words in BROKEN_WORDS:
        done = subprocess.run([simulator, "--break", rule, "--seeds", "100"], cwd=ROOT / "test/sim", capture_output=True,
                              text=True, errors="replace")
        verdicts = [line for line in done.stdout.splitlines() if line.startswith(("seed ", "died "))]
        if done.returncode == 0 or not any(words in line for line in verdicts):
            raise SystemExit(f"nobody finds out that {rule} are lost: {verdicts}")


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


def simulate(source, folder, *kind):
    return subprocess.run([folder / "test/sim/sternpost-sim", *kind, "--seeds", "40" if kind else str(SEEDS)], cwd=source / "test/sim",
                          capture_output=True, text=True, errors="replace")


def check(source, changes):
    for file, old, _ in changes:
        count = (source / file).read_text().count(old)
        if count != 1:
            raise SystemExit(f"{file} has these lines {count} times:\n{old}")


def change(source, changes):
    """Returns what stood in the files."""
    check(source, changes)
    before = {}
    for file, old, new in changes:
        text = (source / file).read_text()
        before.setdefault(file, text)
        (source / file).write_text(text.replace(old, new))
    return before


def is_found(mutant, source, folder):
    name, words, *changes = mutant
    before = change(source, changes)
    build(source, folder)
    done = simulate(source, folder, *(["--crowd"] if mutant in CROWD_MUTANTS else []))
    for file, text in before.items():
        (source / file).write_text(text)
    verdicts = [line for line in done.stdout.splitlines() if line.startswith(("seed ", "died "))]
    print(f"{name}: {verdicts[0] if verdicts else 'not found'}", flush=True)
    return any(words in line for line in verdicts)


def main():
    if sys.argv[1:] == ["--check"]:
        for _, _, *changes in MUTANTS + CROWD_MUTANTS:
            check(ROOT, changes)
        return
    if sys.argv[1] == "--bites":
        bite(sys.argv[2])
        return
    folder = pathlib.Path(sys.argv[1]).resolve()
    wanted = sys.argv[2:] or [mutant[0] for mutant in MUTANTS + CROWD_MUTANTS]
    source, build_folder = folder / "source", folder / "build"
    copy_tree(source)
    build(source, build_folder)
    if simulate(source, build_folder).returncode != 0 or simulate(source, build_folder, "--crowd").returncode != 0:
        raise SystemExit("the simulator finds faults before any rule is broken")
    missed = [mutant[0] for mutant in MUTANTS + CROWD_MUTANTS if mutant[0] in wanted and not is_found(mutant, source, build_folder)]
    shutil.rmtree(folder)
    if missed:
        raise SystemExit("not found: " + ", ".join(missed))


main()
