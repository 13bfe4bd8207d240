"""anndata as it comes, and so the official packager, reads every part of the file: it opens all of it to use a half."""

from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.submission.checking.encodings import find_unreadable
from vccapp.wording import name_some


@CHECKS.register("encodings")
class Encodings(Check):
    label = "The official packager reads it"
    why = "anndata opens a file as a whole: one part that it does not know keeps it from the rest."

    def finish(self) -> CheckResult:
        found = find_unreadable(self.context.file.rows.path)
        if found:
            return self.failed(
                f"The official packager cannot read {name_some(found, 2)}.",
                "Write obs, var and X alone with anndata's write_h5ad, uncompressed or with gzip.",
                mend="plain_file",
            )
        return self.ok("Every part of the file is stored as anndata stores it.")
