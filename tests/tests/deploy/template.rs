//! The part of Helm's templates that the chart keeps to: values, `quote`, `toJson`, `nindent`, `if`.
//! Anything else is refused, so that what is tested here is what Helm gives.
use serde_json::Value;

/// What a template may name: `.Values` and `.Release.Name`.
pub(crate) struct Names<'a> {
    pub(crate) values: &'a Value,
    pub(crate) release: &'a str,
}

/// The template's text with its actions carried out (text/template, "Text and spaces").
pub(crate) fn render(template: &str, names: &Names<'_>) -> String {
    let mut rendered = String::new();
    // Whether what stands here is printed, for each `if` around it.
    let mut conditions: Vec<bool> = Vec::new();
    let mut rest = template;
    while let Some((before, from)) = rest.split_once("{{") {
        let (action, after) = from
            .split_once("}}")
            .unwrap_or_else(|| panic!("no end: {from}"));
        let (action, trims_before) = match action.strip_prefix("- ") {
            Some(action) => (action, true),
            None => (action, false),
        };
        assert!(
            !action.ends_with('-'),
            "{action}: a trim at the end is not kept to"
        );
        let before = if trims_before {
            before.trim_end()
        } else {
            before
        };
        let is_shown = conditions.iter().all(|holds| *holds);
        if is_shown {
            rendered += before;
        }
        match action.trim().split_once(' ') {
            Some(("if", condition)) => conditions.push(is_true(&value(condition, names))),
            None if action.trim() == "end" => {
                conditions.pop().unwrap();
            }
            _ if is_shown => rendered += &printed(action.trim(), names),
            _ => {}
        }
        rest = after;
    }
    assert!(conditions.is_empty(), "an if without its end");
    rendered + rest
}

fn printed(action: &str, names: &Names<'_>) -> String {
    let mut stages = action.split('|').map(str::trim);
    let mut value = value(stages.next().unwrap(), names);
    for stage in stages {
        let text = plain(&value);
        value = match stage.split_once(' ') {
            None if stage == "quote" => Value::String(serde_json::to_string(&text).unwrap()),
            None if stage == "toJson" => Value::String(serde_json::to_string(&value).unwrap()),
            Some(("nindent", width)) => {
                let indent = " ".repeat(width.parse().unwrap());
                let lines = text.lines().map(|line| format!("\n{indent}{line}"));
                Value::String(if text.is_empty() {
                    format!("\n{indent}")
                } else {
                    lines.collect()
                })
            }
            _ => panic!("the chart does not keep to what is tested: {stage}"),
        };
    }
    plain(&value)
}

fn value(path: &str, names: &Names<'_>) -> Value {
    if path == ".Release.Name" {
        return Value::String(names.release.to_owned());
    }
    let keys = path
        .strip_prefix(".Values.")
        .unwrap_or_else(|| panic!("the chart does not keep to what is tested: {path}"));
    let mut value = names.values;
    for key in keys.split('.') {
        value = value
            .get(key)
            .unwrap_or_else(|| panic!("values.yaml has no {path}"));
    }
    value.clone()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// text/template: false, 0, and what is empty are not.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        _ => true,
    }
}

#[test]
fn templates_are_rendered_as_helm_does() {
    let values = serde_json::json!({"a": {"b": "x\"y", "n": 7, "l": ["p"]}, "no": "", "t": "1\n2"});
    let names = Names {
        values: &values,
        release: "r",
    };
    for (template, rendered) in [
        ("k: {{ .Values.a.b | quote }}\n", "k: \"x\\\"y\"\n"),
        ("{{ .Release.Name }}-{{ .Values.a.n }}", "r-7"),
        ("{{ .Values.a.l | toJson }}", "[\"p\"]"),
        ("a\n{{- if .Values.no }}\nb\n{{- end }}\nc", "a\nc"),
        ("a\n{{- if .Values.a.n }}\nb\n{{- end }}\nc", "a\nb\nc"),
        ("k: |\n  {{- .Values.t | nindent 2 }}\n", "k: |\n  1\n  2\n"),
    ] {
        assert_eq!(render(template, &names), rendered);
    }
    for template in [
        "{{ include \"x\" . }}",
        "{{ .Values.none }}",
        "{{ .Values.t | b64enc }}",
    ] {
        let refused = std::panic::catch_unwind(|| render(template, &names));
        assert!(refused.is_err(), "{template}");
    }
}
