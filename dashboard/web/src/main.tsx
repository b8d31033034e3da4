import { render } from "preact";
import "./theme";
import { App } from "./app";

render(<App />, document.body);
