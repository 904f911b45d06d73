"""Scores, intervals, paired tests and reports, all computed from the predictions of a run.

predictions   read and write `predictions.jsonl`
metrics       UA, WA, macro-F1, WF1 from confusion matrices; breakdowns; spread over folds
intervals     bootstrap intervals clustered by speaker
compare       paired permutation tests, Holm's correction
report        report.html, report.md, report.json of one run
table         the same for several runs side by side
"""
