// Tables as one Parquet file, a group of rows at a time; values of types that the page has no column for are text.
import { ByteWriter, ParquetWriter, schemaFromColumnData } from "hyparquet-writer";
import { shown } from "./dom.js";

const KINDS = { 2: "INT32", 3: "DOUBLE", 5: "STRING", 6: "BOOLEAN", 10: "TIMESTAMP" }; // Parquet types by Arrow type

/** A writer that keeps what is complete as blobs, which a browser may keep on disk. */
class BlobWriter extends ByteWriter {
  blobs = [];

  flush() {
    this.blobs.push(new Blob([this.getBytes()]));
    this.index = 0;
  }

  finish() {
    this.flush();
  }
}

/** @param {AsyncIterable<object>} tables of Arrow, all with the same columns */
export async function parquetOf(tables) {
  const writer = new BlobWriter();
  let file = null;
  for await (const table of tables) {
    const columnData = columnsOf(table);
    file ??= new ParquetWriter({ writer, schema: schemaFromColumnData({ columnData }) });
    file.write({ columnData });
  }
  file.finish();
  return new Blob(writer.blobs);
}

function columnsOf(table) {
  return table.schema.fields.map(({ name, type }, i) => {
    const { typeId, bitWidth } = type.dictionary ?? type;
    const values = table.getChildAt(i).toArray();
    if (typeId === 2 && bitWidth === 64) {
      return { name, type: "INT64", data: Array.from(values, (value) => (value === null ? null : BigInt(value))) };
    }
    if (typeId === 7 || typeId === 3) return { name, type: "DOUBLE", data: Array.from(values, (value) => (value === null ? null : Number(value))) };
    const isText = !(typeId in KINDS) || typeId === 5;
    const data = Array.from(values, (value) => (value === null || !isText ? value : shown(value)));
    return { name, type: isText ? "STRING" : KINDS[typeId], data };
  });
}
