"""QIDO-RS: what is found, against a naive search over the files."""

from collections import defaultdict

import pydicom
from pydicom.tag import Tag

import known
from client import quietly
from compare import plain
from steps.files import by_series, by_study

# What must be there unasked (PS3.18 tables 10.6.3-3 to -5). Modalities in Study is left out where it has
# no value: OHIF shows no study at all if one has an empty one.
STUDY_KEYWORDS = [
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientName",
    "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances", "RetrieveURL",
]
SERIES_KEYWORDS = ["Modality", "SeriesInstanceUID", "SeriesNumber", "NumberOfSeriesRelatedInstances", "RetrieveURL"]
INSTANCE_KEYWORDS = ["SOPClassUID", "SOPInstanceUID", "InstanceNumber", "RetrieveURL"]
PAGE = 7


def uids(items, keyword):
    tag = f"{Tag(keyword):08X}"
    return [item[tag]["Value"][0] for item in items]


class Headers:
    """What the files of each study say: only where all of them agree."""

    def __init__(self, instances):
        self.studies = defaultdict(lambda: defaultdict(set))
        for instance in instances:
            dataset = instance.dataset()
            for keyword in ("PatientID", "PatientName", "StudyDate", "AccessionNumber", "Modality"):
                try:
                    value = str(dataset.get(keyword) or "")
                except Exception:  # an odd value: not searched for
                    value = None
                self.studies[instance.study][keyword].add(value)

    def sure(self, keyword):
        """(study, value) of studies whose files agree."""
        for study, values in self.studies.items():
            if len(values[keyword]) == 1 and None not in values[keyword]:
                yield study, next(iter(values[keyword]))


def search(section, client, instances):
    studies, series = by_study(instances), by_series(instances)
    found = client.search_for_studies(get_remaining=True, limit=PAGE)
    section.same(sorted(uids(found, "StudyInstanceUID")), sorted(studies), "studies by pages", "all")
    again = client.search_for_studies(get_remaining=True, limit=PAGE)
    section.hold(again == found, "pages stable", "another answer the second time")
    rest = min(2, len(studies))
    last = client.search_for_studies(limit=3, offset=len(studies) - rest)
    section.same(len(last), rest, "last pages", "offset")
    every = quietly(client.search_for_series, get_remaining=True, limit=50)
    section.same(sorted(uids(every, "SeriesInstanceUID")), sorted(uid for _, uid in series), "series of all", "all")
    every = quietly(client.search_for_instances, get_remaining=True, limit=100)
    wanted = sorted(instance.sop for instance in instances)
    section.same(sorted(uids(every, "SOPInstanceUID")), wanted, "instances of all", "all")
    for item in found:
        study_items(section, client, item, studies, series)
    filters(section, client, Headers(instances), studies)
    fields(section, client, instances)


def study_items(section, client, item, studies, series):
    """The hierarchy below a study, and the attributes that every item has to have."""
    dataset = pydicom.Dataset.from_json(item)
    study = dataset.StudyInstanceUID
    missing = [keyword for keyword in STUDY_KEYWORDS if keyword not in dataset]
    section.hold(not missing, "studies with what is required", f"{study}: no {missing}")
    section.same(dataset.NumberOfStudyRelatedInstances, len(studies[study]), "instance counts", study)
    section.same(dataset.RetrieveURL, f"{client.base_url}/studies/{study}", "retrieve URLs", study)
    for each in client.search_for_series(study):
        below = pydicom.Dataset.from_json(each)
        uid = below.SeriesInstanceUID
        missing = [keyword for keyword in SERIES_KEYWORDS if keyword not in below]
        section.hold(not missing, "series with what is required", f"{uid}: no {missing}")
        members = series[study, uid]
        section.same(below.NumberOfSeriesRelatedInstances, len(members), "instance counts of series", uid)
        items = client.search_for_instances(study, uid)
        section.same(
            sorted(uids(items, "SOPInstanceUID")), sorted(m.sop for m in members), "instances of series", uid
        )
        for one in items:
            missing = [keyword for keyword in INSTANCE_KEYWORDS if f"{Tag(keyword):08X}" not in one]
            section.hold(not missing, "instances with what is required", f"{uid}: no {missing}")
    section.same(len(client.search_for_instances(study)), len(studies[study]), "instances of studies", study)


def read(section, item, path):
    """A data set from JSON; an empty one if that is known to fail."""
    try:
        return pydicom.Dataset.from_json(item)
    except ValueError:
        why = known.reason(path, "json")
        if not why:
            raise
        section.note(f"not read: {path}: {why}")
        return pydicom.Dataset()


def match(section, client, filters, sure, matches, what, **more):
    """Among the studies of which the answer is certain, exactly those that match are found."""
    found = client.search_for_studies(search_filters=filters, **more)
    found = set(uids(found, "StudyInstanceUID"))
    wanted = {study for study, value in sure if matches(value)}
    unwanted = {study for study, value in sure if not matches(value)}
    section.hold(wanted <= found, what, f"{filters}: {len(wanted - found)} are missing")
    section.hold(not found & unwanted, f"{what}, no others", f"{filters}: {len(found & unwanted)} too many")


def filters(section, client, headers, studies):
    sure = {keyword: list(headers.sure(keyword)) for keyword in ("PatientID", "PatientName", "StudyDate", "Modality")}
    plain = [value for value in {value for _, value in sure["PatientID"]} if value and not set(value) & set("*?\\")]
    for value in plain:
        match(section, client, {"PatientID": value}, sure["PatientID"], value.strip().__eq__, "by patient ID")
        match(section, client, {"00100020": value}, sure["PatientID"], value.strip().__eq__, "by patient ID as a tag")
    for first, last in [("19990101", "20041231"), ("20050101", ""), ("", "19991231")]:
        inside = lambda value: bool(value) and first <= value and (not last or value <= last)
        # Old dates have points in them: in range or not, nobody says.
        dates = [(study, value) for study, value in sure["StudyDate"] if not value or value.isdigit()]
        match(section, client, {"StudyDate": f"{first}-{last}"}, dates, inside, "by date range")
    for _, value in sure["StudyDate"]:
        if len(value) == 8:
            match(section, client, {"StudyDate": value}, sure["StudyDate"], value.__eq__, "by date")
    for modality in {value for _, value in sure["Modality"] if value}:
        filter_ = {"ModalitiesInStudy": modality}
        match(section, client, filter_, sure["Modality"], modality.__eq__, "by modality")
    latin = [value for _, value in sure["PatientName"] if value.isascii() and len(value) > 3 and "=" not in value]
    for value in set(latin):
        start = value[:3]
        # Empty components at an end mean nothing: not a beginning that other names could lack.
        if set(start) & set("*?\\^"):
            continue
        begins = lambda name: name.lower().startswith(start.lower())
        for text in (f"{start}*", f"{start.lower()}*", f"{start.upper()}*"):
            match(section, client, {"PatientName": text}, sure["PatientName"], begins, "by name with *")
        for fuzzy in (False, True):
            found = client.search_for_studies(search_filters={"PatientName": value}, fuzzymatching=fuzzy)
            wanted = {study for study, name in sure["PatientName"] if name == value}
            section.hold(
                wanted <= set(uids(found, "StudyInstanceUID")),
                "by whole name",
                f"{value}, fuzzymatching={fuzzy}: too few",
            )
    some = list(studies)[:3]
    for separator in (",", "\\"):
        found = client.search_for_studies(search_filters={"StudyInstanceUID": separator.join(some)})
        section.same(sorted(uids(found, "StudyInstanceUID")), sorted(some), "by lists of UIDs", separator)
    found = client.search_for_studies(search_filters={"PatientID": "nobody has this"})
    section.same(found, [], "nothing found", "")
    section.same(client.last.status_code, 200, "nothing found is 200", "")


def fields(section, client, instances):
    """includefield: by keyword and by tag, one and many, and `all`."""
    for instance in instances[:40]:
        dataset = instance.dataset()
        asked = [name for name in ("PatientAge", "Rows", "ImageType", "Manufacturer", "BodyPartExamined")]
        there = [name for name in asked if dataset.get(name) not in (None, "")]
        arguments = (instance.study, instance.series)
        sop = {"SOPInstanceUID": instance.sop}
        for names in (there, [f"{Tag(name):08X}" for name in there]):
            if not names:
                continue
            (item,) = client.search_for_instances(*arguments, search_filters=sop, fields=names)
            found = read(section, item, instance.path)
            wrong = [name for name in there if found and plain(found.get(name)) != plain(dataset.get(name))]
            section.hold(not wrong, "fields asked for", f"{instance}: {wrong}")
        (item,) = client.search_for_instances(*arguments, search_filters=sop, fields=["all"])
        missing = [name for name in there if f"{Tag(name):08X}" not in item]
        section.hold(not missing, "all fields", f"{instance}: {missing}")
