from failmodes.analysis.once import read_once
from failmodes.analysis.statistics.image_pairing import ModelRows
from failmodes.analysis.statistics.run_rows import read_run


@read_once
def rows_of(con, model):
    facts = model.runs[0].facts
    return ModelRows(tuple(read_run(con, run.evaluation_id) for run in model.runs), facts["dataset_id"], facts["source_id"])
