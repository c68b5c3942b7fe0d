// Reads openapi.json, shows every call, and sends what its reader fills in. No text of the document or of an answer ever
// becomes markup: all of it goes through textContent.
'use strict';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
const byId = id => document.getElementById(id);
let api;

/** An element with these properties and children. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** What a `$ref` stands for. */
function found(thing) {
  if (!thing || !thing.$ref) return thing || {};
  return found(thing.$ref.slice(2).split('/').reduce((here, name) => here[name], api));
}

/** Paragraphs of text in which `code` and **strong** words are marked. */
function prose(text) {
  const words = paragraph => paragraph.split(/(`[^`]+`|\*\*[^*]+\*\*)/).filter(Boolean).map(part => {
    if (part.startsWith('`')) return make('code', { textContent: part.slice(1, -1) });
    if (part.startsWith('**')) return make('strong', { textContent: part.slice(2, -2) });
    return part;
  });
  return (text || '').split(/\n\n+/).filter(Boolean).map(paragraph => make('p', {}, ...words(paragraph)));
}

/** The schema without "or null". */
function plain(schema) {
  const whole = found(schema);
  const choices = whole.oneOf || whole.anyOf;
  const real = choices && choices.filter(choice => choice.type !== 'null');
  return real && real.length === 1 ? { ...whole, ...found(real[0]) } : whole;
}

function typeOf(schema) {
  return [].concat(schema.type || []).find(type => type !== 'null') || 'any';
}

/** Type, range and default in words. */
function limits(schema) {
  const said = [schema.format === 'binary' ? 'a file' : schema.format || typeOf(schema)];
  if (schema.minimum !== undefined || schema.maximum !== undefined)
    said.push(`${schema.minimum ?? ''} to ${schema.maximum ?? '…'}`);
  if (schema.minLength !== undefined || schema.maxLength !== undefined)
    said.push(`${schema.minLength ?? 0} to ${schema.maxLength ?? '…'} characters`);
  if (schema.default !== undefined && schema.default !== null) said.push(`default ${schema.default}`);
  return said.join(', ');
}

/** An example that fits a schema, to begin with. */
function sample(schema, depth = 0) {
  const real = plain(schema);
  if (real.example !== undefined) return real.example;
  if (real.default !== undefined && real.default !== null) return real.default;
  if (real.const !== undefined) return real.const;
  if (real.enum) return real.enum[0];
  if (real.oneOf) return sample(real.oneOf[0], depth);
  if (real.allOf) return Object.assign({}, ...real.allOf.map(part => sample(part, depth)));
  switch (typeOf(real)) {
    case 'object': {
      // What must be there; where nothing must, the outermost shows what can.
      const needed = real.required || [];
      const all = depth === 0 && needed.length === 0;
      return Object.fromEntries(Object.entries(real.properties || {}).filter(([name]) => all || needed.includes(name))
        .map(([name, value]) => [name, sample(value, depth + 1)]));
    }
    case 'array': return depth < 4 && real.items ? [sample(real.items, depth + 1)] : [];
    case 'integer': case 'number': return real.minimum ?? 0;
    case 'boolean': return true;
    case 'string': return real.format === 'date-time' ? new Date().toISOString() : '';
    default: return null;
  }
}

let fields = 0;

/** A labelled input for a parameter or a form's field. */
function field(name, given, required, text, place) {
  const schema = plain(given);
  const id = `field-${++fields}`;
  const options = schema.enum || (typeOf(schema) === 'boolean' ? ['true', 'false'] : null);
  let input;
  if (options) {
    input = make('select', {}, ...['', ...options].map(value => make('option', { value, textContent: value })));
  } else {
    const type = schema.format === 'binary' ? 'file' : 'text';
    input = make('input', { type, autocomplete: 'off', spellcheck: false });
    if (['integer', 'number'].includes(typeOf(schema))) input.inputMode = 'decimal';
  }
  Object.assign(input, { id, name, required });
  input.dataset.place = place;
  input.setAttribute('aria-describedby', `${id}-text`);
  const label = make('label', { htmlFor: id }, make('code', { textContent: name }), required ? ' (required)' : '');
  const about = make('p', { id: `${id}-text`, textContent: [text, limits(schema)].filter(Boolean).join(' · ') });
  return make('div', { className: 'field' }, label, input, about);
}

/** The inputs for a body: a form's fields, or JSON to edit. */
function bodyFields(body) {
  const content = (body && body.content) || {};
  if (content['multipart/form-data']) {
    const form = found(content['multipart/form-data'].schema);
    const one = ([name, schema]) => {
      const text = schema.description || plain(schema).description;
      return field(name, schema, (form.required || []).includes(name), text, 'form');
    };
    return Object.entries(form.properties || {}).map(one);
  }
  const [type, media] = Object.entries(content)[0] || [];
  if (!type) return [];
  const id = `field-${++fields}`;
  const json = type === 'application/json';
  const text = json ? JSON.stringify(sample(media.schema), null, 2) : '';
  const input = make('textarea', { id, value: text, spellcheck: false });
  Object.assign(input.dataset, { place: 'body', type });
  return [make('div', { className: 'field' }, make('label', { htmlFor: id, textContent: `Body, ${type}` }), input)];
}

/** What `fetch` takes, from what was filled in. */
function request(path, method, form) {
  const headers = {};
  const query = new URLSearchParams();
  let body;
  let target = path;
  for (const input of form.querySelectorAll('[data-place]')) {
    const { place, type } = input.dataset;
    if (place === 'path') target = target.replace(`{${input.name}}`, encodeURIComponent(input.value));
    else if (place === 'body') { body = input.value; headers['Content-Type'] = type; }
    else if (place === 'form') {
      body ||= new FormData();
      if (input.type === 'file') { for (const file of input.files) body.append(input.name, file); }
      else if (input.value !== '') body.append(input.name, input.value);
    } else if (input.value === '') continue;
    else if (place === 'query') query.append(input.name, input.value);
    else if (place === 'header') headers[input.name] = input.value;
  }
  const key = byId('key').value.trim();
  if (key) headers.Authorization = `Bearer ${key}`;
  const asked = query.toString();
  return [target.slice(1) + (asked && `?${asked}`), { method: method.toUpperCase(), headers, body, cache: 'no-store' }];
}

/** Sends a call and shows what came of it. */
async function send(path, method, form, answer, button) {
  button.disabled = true;
  answer.replaceChildren(make('p', { textContent: 'Sending …' }));
  const started = performance.now();
  try {
    const response = await fetch(...request(path, method, form));
    const text = await response.text();
    const took = Math.round(performance.now() - started);
    const status = make('p', { className: response.ok ? 'good' : 'bad' });
    status.textContent = `${response.status} ${response.statusText} · ${took} ms`;
    const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
    const about = make('details', {}, make('summary', { textContent: 'Headers' }), make('pre', { textContent: headers }));
    answer.replaceChildren(status, make('pre', { textContent: readable(text) }), about);
  } catch (error) {
    answer.replaceChildren(make('p', { className: 'bad', textContent: `Nothing came back: ${error.message}` }));
  }
  button.disabled = false;
}

function readable(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

/** What a call answers, by status. */
function answers(responses) {
  const list = make('dl');
  for (const [status, response] of Object.entries(responses)) {
    list.append(make('dt', { textContent: status }), make('dd', {}, ...prose(found(response).description)));
  }
  return list;
}

/** One call; its inside is made when it is opened. */
function call(path, method, operation) {
  const summary = make('summary', {}, make('b', { className: `method ${method}`, textContent: method.toUpperCase() }),
    make('code', { textContent: path }), make('span', { textContent: operation.summary || '' }));
  const details = make('details', { className: 'call', id: operation.operationId }, summary);
  details.addEventListener('toggle', () => details.append(inside(path, method, operation)), { once: true });
  return details;
}

function inside(path, method, operation) {
  const parameters = (operation.parameters || []).map(found);
  const inputs = parameters.map(one => field(one.name, one.schema, Boolean(one.required), one.description, one.in));
  const answer = make('div', { role: 'status' });
  const button = make('button', { type: 'submit', textContent: 'Send' });
  const form = make('form', {}, ...inputs, ...bodyFields(found(operation.requestBody)), button);
  form.addEventListener('submit', event => {
    event.preventDefault();
    const sure = method !== 'delete' || confirm(`${method.toUpperCase()} ${path}\n\nWhat it deletes is gone for good.`);
    if (sure) send(path, method, form, answer, button);
  });
  const told = make('details', {}, make('summary', { textContent: 'What it answers' }), answers(operation.responses));
  return make('div', { className: 'within' }, ...prose(operation.description), make('h3', { textContent: 'Try it' }),
    form, answer, told);
}

function section({ name, description }) {
  const all = Object.entries(api.paths).flatMap(([path, item]) => METHODS.filter(method => item[method])
    .filter(method => item[method].tags.includes(name)).map(method => call(path, method, item[method])));
  return make('section', {}, make('h2', { id: name, textContent: name }), ...prose(description), ...all);
}

async function start() {
  try {
    const response = await fetch('openapi.json');
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    api = await response.json();
  } catch (error) {
    byId('calls').replaceChildren(make('p', { className: 'bad', textContent: `openapi.json: ${error.message}` }));
    return;
  }
  byId('version').textContent = api.info.version;
  byId('intro').replaceChildren(...prose(api.info.description));
  byId('sections').replaceChildren(...api.tags.map(({ name }) => make('a', { href: `#${name}`, textContent: name })));
  byId('calls').replaceChildren(...api.tags.map(section));
}

byId('entry').addEventListener('submit', event => event.preventDefault());
start();
