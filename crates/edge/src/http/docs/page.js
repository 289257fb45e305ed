// Reads the description of the API from the node that served this page, shows it, and sends what is asked.
'use strict';

const at = (id) => document.getElementById(id);

/** An element with attributes and children; text is only ever text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'on') for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return element;
}

/** Text with `code` in it. */
function inline(text) {
  return text.split(/(`[^`]+`)/).filter(Boolean).map((part) =>
    part.length > 2 && part.startsWith('`') && part.endsWith('`') ? make('code', {}, part.slice(1, -1)) : part);
}

/** Paragraphs and lists, the little of Markdown that descriptions use. */
function prose(text = '') {
  return text.split(/\n\s*\n/).filter((block) => block.trim()).map((block) => {
    const lines = block.trim().split('\n');
    return lines.every((line) => line.startsWith('- '))
      ? make('ul', {}, lines.map((line) => make('li', {}, inline(line.slice(2)))))
      : make('p', {}, inline(lines.join(' ')));
  });
}

let api;

const resolve = (schema) => {
  const name = schema?.$ref?.split('/').pop();
  return name ? { ...api.components.schemas[name], named: name } : schema ?? {};
};

/** A schema without the null that stands for "may be absent". */
function present(schema) {
  const choices = (schema.oneOf ?? schema.anyOf)?.filter((choice) => choice.type !== 'null');
  return resolve(choices?.length === 1 ? { ...choices[0], description: schema.description ?? choices[0].description } : schema);
}

function typeOf(schema) {
  const real = present(resolve(schema));
  const types = [real.type].flat().filter((type) => type && type !== 'null');
  if (real.enum) return real.enum.length > 8 ? real.named ?? 'text' : real.enum.join(' | ');
  if (types[0] === 'array') return typeOf(real.items) + '[]';
  if (real.oneOf || real.allOf) return real.named ?? 'object';
  return types.map((type) => ({ string: 'text', boolean: 'true | false' })[type] ?? type).join(' | ') || 'any JSON';
}

/** The fields of an object, whatever it is put together from. */
function fieldsOf(schema) {
  const real = present(resolve(schema));
  if ([real.type].flat().includes('array')) return fieldsOf(real.items);
  const parts = [...(real.allOf ?? []), ...(real.oneOf ?? [])].map(fieldsOf);
  const own = Object.entries(real.properties ?? {}).map(([name, field]) =>
    ({ name, field }));
  const all = [...own, ...parts.flat()];
  return all.filter((one, place) => all.findIndex((other) => other.name === one.name) === place);
}

function showFields(schema, depth = 0) {
  const fields = fieldsOf(schema);
  if (!fields.length) return undefined;
  return make('div', { class: 'fields' }, fields.map(({ name, field }) => {
    const inner = depth < 4 && fieldsOf(field).length
      ? make('details', {}, make('summary', {}, 'its fields')) : undefined;
    inner?.addEventListener('toggle', () => inner.children.length === 1 && inner.append(showFields(field, depth + 1)));
    const what = field.description ?? present(resolve(field)).description;
    return make('div', { class: 'field' },
      make('span', { class: 'name' }, name), make('span', { class: 'type' }, typeOf(field)),
      what ? make('div', { class: 'what' }, inline(what)) : undefined, inner);
  }));
}

function showParameters(parameters) {
  if (!parameters.length) return [];
  return [make('h3', {}, 'Parameters'), make('div', { class: 'fields' }, parameters.map((one) =>
    make('div', { class: 'field' },
      make('span', { class: 'name' }, one.name), make('span', { class: 'type' }, `${typeOf(one.schema)}, ${one.in}`),
      one.required && one.in !== 'path' ? make('span', { class: 'must' }, 'required') : undefined,
      one.description ? make('div', { class: 'what' }, inline(one.description)) : undefined)))];
}

function showAnswers(responses) {
  const rows = Object.entries(responses).map(([status, response]) => {
    const [, body] = Object.entries(response.content ?? {})[0] ?? [];
    const codes = Object.keys(body?.examples ?? {});
    const kind = status < 300 ? 'good' : status < 500 && status >= 400 ? 'bad' : 'other';
    const within = make('div', { class: 'within' });
    const row = make('details', { open: status === '200' },
      make('summary', {}, make('span', { class: `status ${kind}` }, status),
        make('span', { class: 'codes' }, codes.length ? codes.join(', ') : response.description ?? '')), within);
    const fill = () => {
      if (within.children.length) return;
      if (codes.length) {
        within.append(make('ul', {}, codes.map((code) => make('li', {},
          make('a', { href: `#error-${code}` }, make('code', {}, code)), ' ', ...inline(body.examples[code].value.detail)))));
      } else {
        within.append(...[make('div', { class: 'what mono' }, Object.keys(response.content ?? {}).join(' or ')),
          body ? showFields(body.schema) : undefined].filter(Boolean));
      }
    };
    if (row.open) fill();
    row.addEventListener('toggle', fill);
    return row;
  });
  return [make('h3', {}, 'Answers'), make('div', { class: 'answers' }, rows)];
}

/** JSON with its parts marked; anything else as it is. */
function colour(text) {
  let shown = text;
  try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* lines, events or text */ }
  const parts = shown.split(/("(?:\\.|[^"\\])*"\s*:?|-?\b\d+(?:\.\d+)?\b)/);
  return parts.filter(Boolean).map((part) =>
    /^"[^]*:$/.test(part) ? make('span', { class: 'k' }, part)
      : part.startsWith('"') ? make('span', { class: 's' }, part)
        : /^-?\d/.test(part) ? make('span', { class: 'n' }, part) : part);
}

const SHOWN_CHARACTERS_MAX = 200_000;

function showTry(path, method, operation, parameters) {
  const inputs = parameters.map((parameter) => {
    const choices = present(resolve(parameter.schema)).enum ??
      ([present(resolve(parameter.schema)).type].flat().includes('boolean') ? ['false', 'true'] : undefined);
    const long = choices && choices.length > 12;
    const input = choices && !long
      ? make('select', {}, make('option', { value: '' }, '–'), choices.map((choice) => make('option', {}, choice)))
      : make('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', placeholder: parameter.in === 'path' ? '' : 'left out' });
    if (parameter.in === 'path') input.value = parameter.example ?? '';
    return { parameter, input };
  });
  const content = Object.entries(operation.requestBody?.content ?? {})[0];
  const isBytes = content?.[0] === 'application/octet-stream';
  const example = content?.[1].example;
  const body = content && (isBytes ? make('input', { type: 'file' }) : make('textarea', { spellcheck: 'false', rows: 6 }));
  if (body && !isBytes) body.value = example === undefined ? '' : typeof example === 'string' ? example : JSON.stringify(example, null, 2);
  const okay = Object.keys(operation.responses['200']?.content ?? {});
  const form = okay.length > 1
    ? make('select', {}, okay.map((kind) => make('option', {}, kind))) : undefined;

  const request = () => {
    let target = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const { parameter, input } of inputs) {
      if (parameter.in === 'path') target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value !== '' && parameter.in === 'query') query.append(parameter.name, input.value);
      else if (input.value !== '') headers[parameter.name] = input.value;
    }
    if (content) headers['Content-Type'] = content[0];
    if (form) headers.Accept = form.value;
    const asked = query.toString();
    return { target: target + (asked ? `?${asked}` : ''), headers };
  };
  const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const curl = make('pre', { class: 'curl' });
  const describe = () => {
    const { target, headers } = request();
    const words = ['curl', form?.value === 'text/event-stream' || okay.includes('application/x-ndjson') ? '-N' : undefined,
      method === 'get' ? undefined : `-X ${method.toUpperCase()}`,
      ...Object.entries(headers).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`),
      isBytes ? '--data-binary @FILE' : body?.value ? `--data-binary ${quote(body.value)}` : undefined,
      quote(location.origin + target)];
    curl.textContent = words.filter(Boolean).join(' ');
  };

  const out = make('div');
  const send = make('button', { class: 'send', type: 'button' }, 'Send');
  const stop = make('button', { type: 'button', disabled: true }, 'Stop');
  const took = make('span', { class: 'took' });
  let abort;
  stop.addEventListener('click', () => abort?.abort());
  send.addEventListener('click', async () => {
    abort = new AbortController();
    send.disabled = true; stop.disabled = false; took.textContent = '';
    const begun = performance.now();
    const shown = make('pre');
    const head = make('div', { class: 'row' });
    out.replaceChildren(head, shown);
    const { target, headers } = request();
    let text = '';
    try {
      const payload = !content ? undefined : isBytes ? body.files[0] : body.value || undefined;
      const answer = await fetch(target, { method: method.toUpperCase(), headers, body: payload, signal: abort.signal, redirect: 'manual' });
      const kind = answer.ok ? 'good' : 'bad';
      head.append(make('span', { class: `status ${kind}` }, answer.type === 'opaqueredirect' ? 'redirected' : `${answer.status} ${answer.statusText}`),
        make('span', { class: 'mono' }, answer.headers.get('content-type') ?? ''), took);
      const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
      for (let part; reader && !(part = await reader.read()).done;) {
        text = (text + part.value).slice(-SHOWN_CHARACTERS_MAX);
        took.textContent = `${Math.round(performance.now() - begun)} ms`;
        shown.textContent = text;
        shown.scrollTop = shown.scrollHeight;
      }
    } catch (error) {
      if (error.name !== 'AbortError') { head.append(make('span', { class: 'status bad' }, String(error))); }
    }
    took.textContent = `${Math.round(performance.now() - begun)} ms`;
    if (text) shown.replaceChildren(...colour(text)); else shown.remove();
    shown.scrollTop = 0;
    send.disabled = false; stop.disabled = true;
  });
  const all = make('div', { class: 'try', on: { input: describe } },
    make('h3', {}, 'Try it'),
    inputs.map(({ parameter, input }) => make('label', {}, make('span', {}, parameter.name), parameter.in === 'path' ? '' : ` (${parameter.in})`, input)),
    form ? make('label', {}, make('span', {}, 'Accept'), form) : undefined,
    body ? make('label', {}, make('span', {}, 'body'), ` (${content[0]})`, body) : undefined,
    make('div', { class: 'row' }, send, stop), curl, out);
  describe();
  return all;
}

function showOperation(path, method, operation) {
  const parameters = operation.parameters ?? [];
  const content = Object.entries(operation.requestBody?.content ?? {})[0];
  const shownPath = make('span', { class: 'path' }, path.split(/(\{[^}]+\})/).filter(Boolean).map((part) =>
    part.startsWith('{') ? make('i', {}, part) : part));
  const card = make('details', { class: 'operation', id: operation.operationId },
    make('summary', {}, make('span', { class: `method ${method}` }, method.toUpperCase()), shownPath,
      make('span', { class: 'title' }, operation.summary ?? '')));
  const fill = () => {
    if (!card.open || card.children.length > 1) return;
    card.append(make('div', { class: 'inside' },
      make('div', {}, prose(operation.description), showParameters(parameters),
        content ? [make('h3', {}, 'Body'), make('p', { class: 'what' }, inline(operation.requestBody.description ?? '')),
          showFields(content[1].schema)] : [],
        showAnswers(operation.responses)),
      make('div', {}, showTry(path, method, operation, parameters))));
  };
  card.addEventListener('toggle', fill);
  card.fill = fill;
  return card;
}

function showErrors(errors) {
  return make('section', { class: 'group', id: 'errors' }, make('h2', {}, 'Errors'),
    make('p', {}, 'Every code, with what it means and what to do. Problems carry it as ', make('code', {}, 'code'), '.'),
    make('table', { class: 'errors' },
      make('thead', {}, make('tr', {}, ['Code', 'Status', 'What it means, and what to do', 'Repeat'].map((head) => make('th', {}, head)))),
      make('tbody', {}, errors.map((error) => make('tr', { id: `error-${error.code}` },
        make('td', {}, make('code', {}, error.code)), make('td', { class: 'mono' }, String(error.status)),
        make('td', {}, make('p', {}, inline(error.meaning)), make('p', {}, inline(error.advice))),
        make('td', { class: 'mono' }, error.retry.replace('_', ' ')))))));
}

/** Opens what the address names. */
function follow() {
  const target = at(decodeURIComponent(location.hash.slice(1)));
  if (target?.classList.contains('operation')) { target.open = true; target.fill(); }
  target?.scrollIntoView();
  document.querySelectorAll('nav a').forEach((link) => link.classList.toggle('here', link.hash === location.hash && location.hash !== ''));
}

function find(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  document.querySelectorAll('nav a').forEach((link) =>
    link.classList.toggle('hidden', !words.every((word) => link.dataset.words.includes(word))));
  document.querySelectorAll('nav h2').forEach((head) => {
    let next = head.nextElementSibling, any = false;
    for (; next?.tagName === 'A'; next = next.nextElementSibling) any ||= !next.classList.contains('hidden');
    head.classList.toggle('hidden', !any);
  });
}

async function showNode() {
  try {
    const status = await (await fetch('/v1/status')).json();
    const leader = status.members.find((member) => member.leader);
    at('node').textContent = `You are at node ${status.name} (${status.role}) of cluster ${status.cluster}. ` +
      (leader ? `${leader.name} leads ${status.members.length === 1 ? 'it alone' : `${status.members.length} members`} in term ${status.term}; ${status.applied} entries applied.`
        : 'No leader is known.');
  } catch (error) {
    at('node').textContent = `The node does not answer: ${error}`;
    at('node').classList.add('bad');
  }
}

async function begin() {
  const [description, { errors }] = await Promise.all(
    ['/v1/openapi.json', '/v1/errors'].map(async (target) => (await fetch(target)).json()));
  api = description;
  at('version').textContent = api.info.version;
  at('intro').append(...prose(api.info.description));
  const nav = at('contents');
  for (const tag of api.tags) {
    const operations = Object.entries(api.paths).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({ path, method, operation })));
    const own = operations.filter(({ operation }) => operation.tags?.includes(tag.name));
    if (!own.length) continue;
    nav.append(make('h2', {}, tag.name));
    for (const { path, method, operation } of own) {
      nav.append(make('a', { href: `#${operation.operationId}`, 'data-words': `${method} ${path} ${operation.summary}`.toLowerCase() },
        make('span', { class: `method ${method}` }, method.toUpperCase()), operation.summary ?? path));
    }
    at('operations').append(make('section', { class: 'group', id: tag.name }, make('h2', {}, tag.name),
      make('p', {}, inline(tag.description ?? '')), own.map(({ path, method, operation }) => showOperation(path, method, operation))));
  }
  nav.append(make('h2', {}, 'errors'), make('a', { href: '#errors', 'data-words': 'errors codes problems' }, 'All error codes'));
  at('operations').append(showErrors(errors));
  at('find').addEventListener('input', (event) => find(event.target.value));
  document.addEventListener('keydown', (event) => {
    if (event.key === '/' && !/INPUT|TEXTAREA|SELECT/.test(document.activeElement.tagName)) { event.preventDefault(); at('find').focus(); }
  });
  addEventListener('hashchange', follow);
  follow();
}

showNode();
begin().catch((error) => {
  at('node').textContent = `The description could not be shown: ${error}`;
  at('node').classList.add('bad');
});
