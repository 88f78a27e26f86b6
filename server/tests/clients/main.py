"""main.py CAIRN CORPUS SCRATCH [WORD...]: what an independent client and reader make of `cairn serve`.

Every file below CORPUS (and in zips there) that holds an instance is stored, searched for and
retrieved in every way; what holds none has to be refused. Files of one UID are put into archives of
their own, round by round, so that each is seen. WORDs choose sections by a part of their name.
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from archive import Archive  # noqa: E402
from client import Client  # noqa: E402
from corpus import Corpus  # noqa: E402
from steps import files, lifecycle, metadata, rendered, search, store, wado_uri, weasis  # noqa: E402
from tally import Tally  # noqa: E402


def per_round(instances):
    """Sections over one archive: name, and what to call."""
    yield "retrieve as stored", lambda section, client: files.as_stored(section, client, instances)
    yield "retrieve as Explicit LE, frames", lambda section, client: files.explicit(section, client, instances)
    yield "metadata, bulk data", lambda section, client: metadata.metadata(section, client, instances)
    yield "search", lambda section, client: search.search(section, client, instances)
    yield "rendered", lambda section, client: rendered.rendered(section, client, instances)
    yield "WADO-URI", lambda section, client: wado_uri.wado_uri(section, client, instances)
    yield "as Weasis", lambda section, client: weasis.weasis(section, client.base_url, instances)
    yield "storage commitment", lambda section, client: lifecycle.commitment(section, client, instances)
    yield "delete", lambda section, client: lifecycle.delete(section, client, instances)


def run(binary, corpus, scratch, words, tally):
    chosen = lambda name: not words or any(word in name for word in words)
    for number, instances in enumerate(corpus.rounds(), 1):
        with Archive(binary, scratch / f"round-{number}") as archive:
            client = Client(archive.url)
            with tally.section("store") as section:
                store.store(section, client, instances)
                if number == 1:
                    store.refuse(section, client, corpus.others)
            for title, call in per_round(instances):
                # Later rounds hold an instance or two of each study: nothing more to see in deleting.
                if chosen(title) and (title != "delete" or number == 1):
                    with tally.section(title) as section:
                        call(section, client)
        shutil.rmtree(archive.folder / "data", ignore_errors=True)
    if chosen("versions"):
        with Archive(binary, scratch / "versions") as archive, tally.section("versions of one UID") as section:
            store.correct(section, Client(archive.url), corpus)
    if chosen("anew"):
        with Archive(binary, scratch / "anew") as archive, tally.section("store data sets anew") as section:
            first = [versions[0] for versions in corpus.versions.values()]
            store.write_anew(section, Client(archive.url), first)


def main():
    binary, folder, scratch, *words = sys.argv[1:]
    corpus = Corpus(folder)
    versions = len(corpus.instances)
    print(
        f"{versions} files hold {len(corpus.versions)} instances by UID; {len(corpus.others)} hold none"
    )
    for path, _, reason in corpus.others:
        print(f"       {path}: {reason}")
    tally = Tally()
    run(binary, corpus, Path(scratch), words, tally)
    return tally.finish(Path(scratch) / "findings.txt")


if __name__ == "__main__":
    sys.exit(main())
