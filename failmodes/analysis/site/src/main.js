import "./style.css";
import * as vg from "@uwdata/vgplot";

console.log(Object.keys(vg).length);
