"""X is CSR, float32, sorted, with every position stored once and no explicit zero: the scorer's rank test fails on
explicit zeros, and the official packagers keep CSC as it is."""

import numpy as np

from vccapp.submission.check import CHECKS, Check, CheckResult
from vccapp.submission.checking.encodings import find_unsigned


@CHECKS.register("layout")
class Layout(Check):
    label = "X is CSR float32"
    why = "Scorers read cell after cell, and rank what is stored: a stored zero counts as a value."

    def finish(self) -> CheckResult:
        file, counted = self.context.file, self.context.values.counted
        zeros, disorder = counted["zeros"], counted["disorder"]
        if file.dtype.kind == "f" and (file.dtype.itemsize < 4 or not file.dtype.isnative):
            order = "" if file.dtype.isnative else "big-endian "
            kind = file.dtype.newbyteorder("=").name
            return self.failed(
                f"X holds {order}{kind} values, of which the official packager cannot make a sparse matrix.",
                "Convert with X.astype('float32').",
                rule="dtype" if file.layout == "dense" else "",
                mend="float32",
            )
        if file.layout != "csr":
            return self.failed(
                f"X is {file.layout.upper()}.",
                "Store it as CSR: adata.X = scipy.sparse.csr_matrix(adata.X).",
                rule=file.layout,
                mend="csr",
            )
        if file.dtype.kind != "f":
            return self.failed(
                f"X holds {file.dtype} values.", "Convert with X.astype('float32').", rule="dtype", mend="float32"
            )
        if unsigned := find_unsigned(file.rows.path):
            return self.failed(
                f"{unsigned[0]} holds numbers without sign, with which sparse matrices cannot be worked on.",
                "Store X/indices and X/indptr as int32 or int64.",
                rule="unsigned",
                mend="plain_file",
            )
        if zeros or disorder:
            return self.failed(
                f"X holds {zeros:,} explicit zeros and {disorder:,} misplaced values.",
                "Convert with sum_duplicates(), eliminate_zeros() and sort_indices().",
                rule="explicit_zeros" if zeros else "disorder",
                mend="drop_zeros",
            )
        if file.dtype != np.float32:
            return self.warning(
                f"X holds {file.dtype} values.", "Store float32: the file is half as large.", mend="float32"
            )
        return self.ok(f"X is CSR float32, sorted, with {file.n_values:,} stored values and no explicit zero.")
