import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { expect, it } from 'vitest';
import { MessageText } from './MessageText';

it('shows links as links and everything else as it was written', () => {
  const text = 'see https://a.example/?x=1&y=2, <b>javascript:alert(1)</b>';
  expect(renderToStaticMarkup(createElement(MessageText, { text }))).toBe(
    '<span>see </span>' +
      '<a href="https://a.example/?x=1&amp;y=2" target="_blank" rel="noopener noreferrer">https://a.example/?x=1&amp;y=2</a>' +
      '<span>, &lt;b&gt;javascript:alert(1)&lt;/b&gt;</span>',
  );
});
