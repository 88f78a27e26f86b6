"""dicomweb-client, as a user has it, with the parts of its replies kept."""

import logging
import warnings

from dicomweb_client import DICOMwebClient

STORED = (("application/dicom", "*"),)
EXPLICIT = ("application/dicom",)
# A machine that builds things beside may take its time.
PATIENCE_SECONDS = 60
# It logs every Warning field: there is one for each page of a search.
logging.getLogger("dicomweb_client").setLevel(logging.ERROR)
OCTETS = (("application/octet-stream", "1.2.840.10008.1.2.1"),)


class Client(DICOMwebClient):
    """Keeps the bytes of each part of the last multipart reply in `parts`, as they came."""

    def __init__(self, url):
        super().__init__(url=url, permissive_uid=True, timeout=PATIENCE_SECONDS)
        # Fail at once instead of asking again for a minute.
        self.set_http_retry_params(retry=False)
        self.parts = []
        self.last = None

    def _http_get(self, url, params=None, headers=None, stream=False):
        self.parts = []
        self.last = super()._http_get(url, params=params, headers=headers, stream=stream)
        return self.last

    def _decode_multipart_message(self, response, stream):
        for part in super()._decode_multipart_message(response, stream):
            self.parts.append(bytes(part))
            yield part

    def store_files(self, files, study=None):
        """Stores files as they are. `store_instances` writes data sets anew, by pydicom."""
        url = self.base_url + "/studies" + (f"/{study}" if study else "")
        return self._http_post_multipart_application_dicom(url, files)

    def get(self, path, accept=None, params=None):
        """A plain request, for what the client has no method for."""
        url = path if path.startswith("http") else self.base_url + path
        headers = {"Accept": accept} if accept else {}
        return self._session.get(url, headers=headers, params=params, timeout=PATIENCE_SECONDS)

    def post(self, path, body, content_type):
        return self._session.post(self.base_url + path, data=body, headers={"Content-Type": content_type})


def quietly(call, *args, **kwargs):
    """Calls without warnings about odd values in files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **kwargs)
