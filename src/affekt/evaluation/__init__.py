"""Scores, intervals, paired tests and reports, all computed from the predictions of a run.

predictions   read and write `predictions.jsonl`
metrics       UA, WA, macro-F1, WF1 from confusion matrices; breakdowns; spread over folds
intervals     bootstrap intervals clustered by speaker
compare       paired permutation tests, Holm's correction
by_corpus     scores on each corpus, and whether it was trained on
differences   what the change of one key of a recipe did on each corpus
sides         embeddings of train and dev: how compact their classes are; `maps` draws them
report        report.html, report.md, report.json of one run
table         the same for several runs side by side
"""
